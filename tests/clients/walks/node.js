// npm `mixpanel`, call by call. Run by tests/clients/walking.py, like the walks in Python.
const Mixpanel = require("mixpanel");

const target = JSON.parse(process.env.TARGET);
const { host } = new URL(target.url);
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
const plain = { host, protocol: "http", logger: quiet };
const secure = { host: new URL(target.https_url).host, protocol: "https", logger: quiet };
const account = new Mixpanel.ServiceAccountCredentials(target.username, target.password, target.project_id);
const longAgo = 852076800; // 1997-01-01

function tell(name, call) {
  return new Promise((resolve) => {
    const done = (errors) => {
      const found = [].concat(errors || []).filter(Boolean);
      console.log(JSON.stringify({ call: name, error: found.length ? String(found[0].message || found[0]) : null }));
      resolve();
    };
    try {
      call(done);
    } catch (error) {
      done(error);
    }
  });
}

const batch = (name, count, extra) =>
  Array.from({ length: count }, (_, number) => ({
    event: name,
    properties: { distinct_id: "bob", $insert_id: `${name.toLowerCase()}-${number}`, s: ">>>???~~~ÿ", ...extra },
  }));

const parts = {
  async events() {
    const sdk = Mixpanel.init(target.token, plain);
    const verbose = Mixpanel.init(target.token, { ...plain, verbose: true });
    await tell("track", (done) => sdk.track("Purchase", { distinct_id: "ann", s: ">>>???~~~", note: "ä 🙂" }, done));
    await tell("track with a time", (done) => sdk.track("Timed", { distinct_id: "ann", time: new Date() }, done));
    await tell("track, verbose", (done) => verbose.track("Verbose", { distinct_id: "ann" }, done));
    await tell("track_batch", (done) => sdk.track_batch(batch("Batch", 53), done));
  },
  async profiles() {
    const { people } = Mixpanel.init(target.token, plain);
    await tell("people.set", (done) => people.set("ann", { $onesignal_user_id: "os-ann", plan: "pro", old: 1 }, done));
    await tell("people.set of one property", (done) => people.set("ann", "city", "Köln", done));
    await tell("people.set_once", (done) => people.set_once("ann", { plan: "free", first: true }, done));
    await tell("people.increment", (done) => people.increment("ann", { visits: 3, score: -0.5 }, done));
    await tell("people.increment by one", (done) => people.increment("ann", "visits", done));
    await tell("people.append", (done) => people.append("ann", { seen: "a" }, done));
    await tell("people.append of one property", (done) => people.append("ann", "seen", "b", done));
    await tell("people.union", (done) => people.union("ann", { tags: ["x", "y"] }, done));
    await tell("people.union again", (done) => people.union("ann", { tags: ["y", "z"] }, done));
    await tell("people.remove", (done) => people.remove("ann", { tags: "x" }, done));
    await tell("people.unset", (done) => people.unset("ann", "old", done));
    await tell("people.track_charge", (done) => people.track_charge("ann", 9.99, { $time: "2026-01-02T03:04:05" }, done));
    await tell("people.clear_charges", (done) => people.clear_charges("cleared", done));
    await tell("people.set to delete", (done) => people.set("gone", { plan: "free" }, done));
    await tell("people.delete_user", (done) => people.delete_user("gone", done));
    const verbose = Mixpanel.init(target.token, { ...plain, verbose: true }).people;
    await tell("people.set, verbose", (done) => verbose.set("quiet", { plan: "free" }, { $ignore_time: true }, done));
  },
  async groups() {
    const { groups } = Mixpanel.init(target.token, plain);
    await tell("groups.set", (done) => groups.set("company", "acme", { plan: "pro", size: 12, old: 1 }, done));
    await tell("groups.set_once", (done) => groups.set_once("company", "acme", { plan: "free", first: true }, done));
    await tell("groups.union", (done) => groups.union("company", "acme", { tags: ["x", "y"] }, done));
    await tell("groups.remove", (done) => groups.remove("company", "acme", { tags: "x" }, done));
    await tell("groups.unset", (done) => groups.unset("company", "acme", "old", done));
    await tell("groups.set to delete", (done) => groups.set("company", "gone", { plan: "free" }, done));
    await tell("groups.delete_group", (done) => groups.delete_group("company", "gone", done));
  },
  async import() {
    const bySecret = Mixpanel.init(target.token, { ...secure, secret: target.secret });
    const byAccount = Mixpanel.init(target.token, { ...secure, credentials: account });
    const first = { distinct_id: "ann", $insert_id: "line-1", dollars: 11.77 };
    await tell("import by an account", (done) => byAccount.import("Order", longAgo, { ...first }, done));
    const second = { ...first, $insert_id: "line-2" };
    await tell("import by an API secret", (done) => bySecret.import("Order", new Date(longAgo * 1000), second, done));
    const rows = batch("Old", 53, { time: longAgo });
    await tell("import_batch", (done) => byAccount.import_batch(rows, done));
  },
  async key() {
    const byKey = Mixpanel.init(target.token, { ...plain, key: target.secret });
    const row = { distinct_id: "ann", $insert_id: "line-3" };
    await tell("import by an API key", (done) => byKey.import("Order", longAgo, row, done));
  },
  async identity() {
    const sdk = Mixpanel.init(target.token, plain);
    await tell("track", (done) => sdk.track("Looked", { distinct_id: "ann", $insert_id: "looked" }, done));
    await tell("alias", (done) => sdk.alias("ann", "ann@example.com", done));
    await tell("people.set by the alias", (done) => sdk.people.set("ann@example.com", { plan: "pro" }, done));
  },
};

parts[process.argv[2]]().then(() => process.exit(0));
