// All tests in the browser, in their order.
import { main } from "./kit.mjs";
await import("./served.mjs");
await import("./words.mjs");
await import("./status.mjs");
await import("./documents.mjs");
await import("./streams.mjs");
await import("./beside.mjs");
await import("./search.mjs");
await import("./care.mjs");
await import("./people.mjs");
await import("./access.mjs");
await import("./guard.mjs");
await main();
