"""Runs the SQL of standard input in DuckDB, and prints a JSON object for each row."""

import json
import sys

import duckdb

database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
answer = database.execute(sys.stdin.read())
names = [column[0] for column in answer.description]
while rows := answer.fetchmany(10_000):
    for row in rows:
        print(json.dumps(dict(zip(names, row)), default=str, ensure_ascii=False))
