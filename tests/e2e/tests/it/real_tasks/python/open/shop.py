"""Prints the table that was added to shop.db, and what SQLite finds wrong with the file."""

import json
import sqlite3

shop = sqlite3.connect("shop.db")
best = shop.execute("SELECT * FROM best ORDER BY amount DESC").fetchall()
print(json.dumps({"best": best, "check": shop.execute("PRAGMA integrity_check").fetchone()[0]}))
