// What an analyst does with ClickHouse's own client for Node: analyst.mjs PACKAGE PORT PASSWORD LINK
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [folder, port, password, link] = process.argv.slice(2);
const { createClient, ClickHouseError } = createRequire(import.meta.url)(folder);

for (const compression of [{}, { response: true }]) {
  const client = createClient({
    url: `http://127.0.0.1:${port}`,
    username: "analyst",
    password,
    database: "signpost",
    compression,
  });
  assert.equal((await client.ping()).success, true);
  assert.equal((await client.ping({ select: true })).success, true);
  const query =
    "SELECT country, count() AS clicks FROM clicks WHERE link = {link:UInt64} GROUP BY country ORDER BY country";
  const rows = [
    { country: "DE", clicks: 2 },
    { country: "US", clicks: 1 },
  ];
  const query_params = { link: Number(link) };
  const asked = (format) => client.query({ query, query_params, format });
  assert.deepEqual(await (await asked("JSONEachRow")).json(), rows);
  const whole = await (await asked("JSON")).json();
  assert.deepEqual(whole.data, rows);
  assert.equal(whole.rows, 2);
  assert.deepEqual(
    whole.meta.map((column) => column.name),
    ["country", "clicks"],
  );
  assert.deepEqual(await (await asked("JSONCompactEachRow")).json(), [
    ["DE", 2],
    ["US", 1],
  ]);
  assert.equal(await (await asked("CSVWithNames")).text(), '"country","clicks"\n"DE",2\n"US",1\n');

  // Many rows, as they come.
  let seen = 0;
  const many = await client.query({
    query: "SELECT number FROM numbers(200000)",
    format: "JSONEachRow",
  });
  for await (const some of many.stream()) seen += some.length;
  assert.equal(seen, 200000);

  for (const attempt of ["ALTER TABLE clicks DELETE WHERE 1", "DROP TABLE clicks"]) {
    await assert.rejects(client.command({ query: attempt }), ClickHouseError, attempt);
  }
  await assert.rejects(client.query({ query: "SELECT nothing_here" }), (error) => error.code === "47");
  await assert.rejects(
    client.insert({ table: "clicks", values: [{ epoch: 1 }], format: "JSONEachRow" }),
    ClickHouseError,
  );
  await client.close();
}
console.log("done");
