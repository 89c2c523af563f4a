/** The TypeScript SDK of meetbot: dispatch bots to video meetings, follow them, and verify their webhooks. */

export { MeetBot, createMeetbot } from "./client.js";
export type { AutoLeaveConfig, DeliveriesParams, DispatchBotParams, ListBotsParams } from "./calls.js";
export type { DownloadAllOptions, DownloadOptions, Progress } from "./download.js";
export {
  MeetbotConfigurationError,
  MeetbotConflictError,
  MeetbotConnectionError,
  MeetbotDecodeError,
  MeetbotError,
  MeetbotFileError,
  MeetbotForbiddenError,
  MeetbotNotFoundError,
  MeetbotRateLimitError,
  MeetbotServerError,
  MeetbotSignatureError,
  MeetbotTimeoutError,
  MeetbotUnauthorizedError,
  MeetbotUnexpectedStatusError,
  MeetbotValidationError,
  type ErrorDetails,
  type ErrorKind,
} from "./errors.js";
export type * from "./models.js";
export type { Call, Page } from "./results.js";
export type { AbortSignalLike, CallEnded, CallOptions, CallStarted, FetchLike, Options, RawResponse, ResponseHeaders, ResponseLike } from "./settings.js";
export type { Stream } from "./stream.js";
export type { HeadersLike, RawBody, UnwrapOptions } from "./unwrap.js";
export { verifyWebhookSignature } from "./signature.js";
export { VERSION } from "./version.js";
export * as webhooks from "./unwrap.js";
export type { WaitOptions } from "./wait.js";
export { isFinal } from "./words.js";
export type * from "./words.js";
