/** The story in a page of a browser: sends its result to the server that the page came from, which passes calls of the API on. */

import { story } from "./story.ts";

const apiKey = new URLSearchParams(location.search).get("key") ?? "";
const result = await story({ apiKey, baseUrl: location.origin, dangerouslyAllowBrowser: true }).catch((error: unknown) => String(error));
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
