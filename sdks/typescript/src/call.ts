/** One call, and the pages of a list. */

import type { Endpoint } from "./calls.js";
import { MeetbotDecodeError, MeetbotError } from "./errors.js";
import { answerOf, exchange, type Answered, type How } from "./exchange.js";
import type { Call, Page } from "./results.js";
import type { Settings } from "./settings.js";
import { streamOf, type Stream } from "./stream.js";

/** Makes a call; with `absent`, the answer that there is no such thing is `null`. */
export async function answered<T>(settings: Settings, endpoint: Endpoint, how: How = {}, absent = false): Promise<Answered<T>> {
  try {
    return await exchange<T>(settings, endpoint, how);
  } catch (error) {
    const response = absent && error instanceof MeetbotError && error.kind === "not_found" ? answerOf.get(error) : undefined;
    if (response === undefined) throw error;
    return { data: null as T, response };
  }
}

/** Makes a call at once; with `absent`, as in `answered`. Wrong settings and arguments are errors of the promise. */
export function call<T>(settings: () => Settings, endpoint: () => Endpoint, absent = false): Call<T> {
  const whole = (async () => answered<T>(settings(), endpoint(), {}, absent))();
  const data = whole.then((answer) => answer.data);
  const withResponse = (): Promise<Answered<T>> => {
    // The caller that awaits the answer gets its error; it must not be reported as unhandled, too.
    data.catch(() => {});
    return whole;
  };
  return Object.assign(data, { withResponse });
}

/** Goes from page to page, over empty ones too. */
export function pagesOf<T>(settings: () => Settings, endpoint: (cursor: string | null) => Endpoint): Stream<T> {
  const closing = new AbortController();
  let cursor: string | null = null;
  let data: T[] = [];
  let last = false;
  return streamOf<T>({
    async pull() {
      while (data.length === 0 && !last) {
        const page = (await answered<Page<T>>(settings(), endpoint(cursor), { signal: closing.signal })).data;
        if (page.nextCursor !== null && page.nextCursor === cursor) {
          throw new MeetbotDecodeError("the list goes in circles: a page names itself as the next", { attempts: 1 });
        }
        data = page.data;
        cursor = page.nextCursor;
        last = cursor === null;
      }
      return data.shift();
    },
    close: () => closing.abort(),
  });
}
