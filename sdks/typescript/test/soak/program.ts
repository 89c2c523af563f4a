/** The story in Deno, Bun or Node.js, by the environment; then a whole recording into a folder, which only these can. Prints the result. */

import { MeetBot } from "@meetbot/sdk";
import { story } from "./story.ts";

const result = await story({});
const folder = process.argv[2] as string;
const mb = new MeetBot();
const job = (await mb.listBots({ status: "completed", limit: 1 })).data[0];
const paths = await mb.downloadArtifacts(job!, folder);
if (!paths.at(-1)?.endsWith("manifest.json")) throw new Error(paths.join());
console.log(JSON.stringify(result));
