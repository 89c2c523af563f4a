/** What calls give. */

import type { RawResponse } from "./settings.js";

/** A call under way: a promise of what its answer holds, and with `withResponse()` the answer as it came beside it. */
export interface Call<T> extends Promise<T> {
  withResponse(): Promise<{ data: T; response: RawResponse }>;
}

/** A page of a list. */
export interface Page<T> {
  data: T[];
  /** The `cursor` of the next page; `null` after the last. */
  nextCursor: string | null;
}
