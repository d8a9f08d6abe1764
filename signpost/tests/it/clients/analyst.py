"""What an analyst does with clickhouse-connect: analyst.py PORT PASSWORD LINK"""

import sys

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

port, password, link = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

for settings in ({}, {"compress": False}, {"autogenerate_session_id": False}):
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="analyst", password=password, database="signpost", **settings
    )
    assert client.ping()
    of_link = client.query(
        "SELECT country, count() AS clicks FROM clicks WHERE link = {link:UInt64} GROUP BY country ORDER BY country",
        parameters={"link": link},
    )
    assert of_link.column_names == ("country", "clicks"), of_link.column_names
    assert of_link.result_rows == [("DE", 2), ("US", 1)], of_link.result_rows

    # Every kind of column the tables have, to and fro.
    row = client.query(
        "SELECT time, visitor, is_bot, device, query, ip, epoch, worker FROM clicks WHERE link = %(link)s LIMIT 1",
        parameters={"link": link},
    ).first_item
    assert row["device"] == "desktop" and row["is_bot"] is False and row["epoch"] > 0, row
    by_period = "SELECT sum(clicks) FROM clicks_15m WHERE link = {link:UInt64}"
    assert client.command(by_period, parameters={"link": link}) == 3

    # Many rows, as they come.
    seen = 0
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(200000)") as stream:
        for block in stream:
            seen += len(block)
    assert seen == 200_000, seen
    raw = client.raw_query("SELECT 1 AS one, 'two' AS two", fmt="JSONEachRow")
    assert raw.strip() == b'{"one":1,"two":"two"}', raw

    for attempt in (
        "INSERT INTO signpost.clicks (epoch) VALUES (1)",
        "ALTER TABLE signpost.clicks DELETE WHERE 1",
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String')",
        "SELECT * FROM nothing_here",
    ):
        try:
            client.command(attempt)
        except ClickHouseError as error:
            assert "Code:" in str(error) or "code" in str(error), error
        else:
            raise AssertionError(f"{attempt} was allowed")
    client.close()
print("done")
