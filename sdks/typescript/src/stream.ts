/** Streams: what `watch` and the iterators over lists give. */

/** Where the elements of a stream come from. */
export interface Source<T> {
  /** The next element, `undefined` at the end. After an error it can be asked again, and goes on where it was. */
  pull(): Promise<T | undefined>;
  /** Ends what is under way. */
  close(): void;
}

/**
 * Elements one after the other, for `for await` or by `next()`.
 *
 * It is no generator: after an error the next `next()` goes on where the stream was. While a `next()` is pending, another gets the same element, so that
 * one which was given up, as in a race with a timer, loses nothing. `break` and `return()` close its connection at once.
 */
export interface Stream<T> extends AsyncIterable<T> {
  next(): Promise<IteratorResult<T>>;
  return(): Promise<IteratorResult<T>>;
}

/** A stream of what the source gives. */
export function streamOf<T>(source: Source<T>): Stream<T> {
  let pending: Promise<IteratorResult<T>> | null = null;
  let over = false;
  const end = (): IteratorResult<T> => ({ done: true, value: undefined });
  const pulled = async (): Promise<IteratorResult<T>> => {
    try {
      const value = over ? undefined : await source.pull();
      // Closed meanwhile: the element is dropped.
      if (over || value === undefined) return end();
      return { done: false, value };
    } catch (error) {
      if (over) return end();
      throw error;
    } finally {
      pending = null;
    }
  };
  const stream = {
    next(): Promise<IteratorResult<T>> {
      return (pending ??= pulled());
    },
    return(): Promise<IteratorResult<T>> {
      over = true;
      source.close();
      return Promise.resolve(end());
    },
    [Symbol.asyncIterator](): AsyncIterator<T> {
      return stream;
    },
  };
  const dispose = (Symbol as { asyncDispose?: symbol }).asyncDispose;
  if (dispose !== undefined) Object.defineProperty(stream, dispose, { value: async () => void (await stream.return()) });
  return stream;
}
