"""shop.db: customers and their orders."""

import sqlite3

shop = sqlite3.connect("shop.db")
shop.executescript("""
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders (customer INTEGER REFERENCES customers, amount REAL NOT NULL);
    INSERT INTO customers VALUES (1, 'Ada'), (2, 'Søren'), (3, '花子');
""")
amounts = [(1 + number % 3, 10 * (1 + number % 3)) for number in range(300)]
shop.executemany("INSERT INTO orders VALUES (?, ?)", amounts)
shop.commit()
shop.close()
