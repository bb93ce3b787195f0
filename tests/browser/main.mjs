// The tests of some files, in their order: main.mjs FILE[,FILE…] [PART OF A NAME…]
import { main } from "./kit.mjs";
for (const name of process.argv[2].split(","))
    await import(`./${name}.mjs`);
await main(process.argv.slice(3));
