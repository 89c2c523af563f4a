/** The story in a Cloudflare Worker: answers each request with its result, or with the error. */

import { story } from "./story.ts";

interface Environment {
  MEETBOT_API_KEY: string;
  MEETBOT_API_BASE_URL: string;
}

export default {
  async fetch(_request: Request, { MEETBOT_API_KEY: apiKey, MEETBOT_API_BASE_URL: baseUrl }: Environment): Promise<Response> {
    return Response.json(await story({ apiKey, baseUrl }).catch((error: unknown) => String(error)));
  },
};
