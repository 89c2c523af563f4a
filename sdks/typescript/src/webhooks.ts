/** `@meetbot/sdk/webhooks`: verification, and receivers for servers. */

export * from "./receivers.js";
export * from "./unwrap.js";
export { MeetbotConfigurationError, MeetbotDecodeError, MeetbotError, MeetbotSignatureError } from "./errors.js";
export type * from "./models.js";
