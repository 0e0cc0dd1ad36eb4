import pandas

table = pandas.read_csv("inputs/kunden.csv", sep=";", encoding="cp1252", dtype=str)
table["Kunde"] = table["Kunde"].str.strip()
amount = table["Umsatz"].str.removesuffix(" €").str.replace(".", "").str.replace(",", ".")
table["Umsatz"] = amount.astype(float)
table["Datum"] = pandas.to_datetime(table["Datum"], format="%d.%m.%Y").dt.date
table = table.drop_duplicates().sort_values("Umsatz", ascending=False)
table.to_csv("clean.csv", index=False)
print(len(table), "rows")
