/** The clients that are measured, by their names: each is imported and made by a function, and gives the call. Every call reads the whole body and parses its JSON. */

const KEY = "mb_test_0123456789abcdefghijklmnopqrstuvwxyz";
const headers = { authorization: `Bearer ${KEY}`, accept: "application/json" };
const path = "/api/v1/jobs/job_01KAB1CDEFGHJKMNPQRSTVWXYZ";

export const CLIENTS = {
  async fetch(base) {
    return async () => {
      const answer = await fetch(base + path, { headers });
      return JSON.parse(await answer.text());
    };
  },
  async undici(base) {
    const { request } = await import("undici");
    return async () => {
      const { body } = await request(base + path, { headers });
      return JSON.parse(await body.text());
    };
  },
  async axios(base) {
    const { default: axios } = await import("axios");
    const client = axios.create({ baseURL: base, headers, timeout: 30_000 });
    return async () => (await client.get(path)).data;
  },
  async got(base) {
    const { default: got } = await import("got");
    const client = got.extend({ prefixUrl: base, headers, timeout: { request: 30_000 } });
    return () => client.get(path.slice(1)).json();
  },
  async openai(base) {
    const { OpenAI } = await import("openai");
    const client = new OpenAI({ apiKey: KEY, baseURL: base });
    return () => client.get(path);
  },
  async meetbot(base) {
    const { createMeetbot } = await import("../dist/index.js");
    const mb = createMeetbot({ apiKey: KEY, baseUrl: base });
    return () => mb.getBot("job_01KAB1CDEFGHJKMNPQRSTVWXYZ");
  },
};
