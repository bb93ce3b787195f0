// The peer of bench/sessions.py: an append to a durable object on its SQLite storage, once for each client id.
import { DurableObject } from "cloudflare:workers";

export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS m(seq INTEGER PRIMARY KEY, id TEXT UNIQUE, kind TEXT, at INTEGER, body TEXT)");
  }

  async fetch(request) {
    const { id, kind, body } = await request.json();
    const { seq } = this.sql
      .exec("INSERT INTO m(id, kind, at, body) VALUES(?, ?, ?, ?) RETURNING seq", id, kind, Date.now(), JSON.stringify(body))
      .one();
    const answer = JSON.stringify({ n: seq });
    return new Response(answer, { headers: { "Content-Length": String(answer.length) } });
  }
}

export default {
  fetch(request, env) {
    const room = new URL(request.url).pathname;
    return env.ROOM.get(env.ROOM.idFromName(room)).fetch(request);
  },
};
