import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas


def read(path):
    if path.endswith(".xlsx"):
        return pandas.read_excel(path)
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return pandas.read_csv(path, sep=None, engine="python", encoding=encoding)
        except UnicodeDecodeError:
            continue
    raise SystemExit("the table has an encoding that this program does not know")


def plain(number):
    number = round(float(number), 2)
    return int(number) if number == int(number) else number


table = read(DATA["table"])
label = table.columns[0]
series = [name for name in table.select_dtypes("number").columns if name != label][:5]
if not series or table.empty:
    raise SystemExit("the table has no column of numbers beside its first column")
table[label] = table[label].astype(str)
print(table.describe())

axes = table.plot(
    x=label,
    y=series,
    kind="bar" if len(table) <= 16 else "line",
    figsize=(8, 4.5),
    title=DATA["question"][:80],
    rot=0 if len(table) <= 12 else 45,
)
axes.set_xlabel(label)
axes.set_ylabel(series[0] if len(series) == 1 else "")
axes.grid(axis="y", alpha=0.3)
plt.tight_layout()
plt.savefig("chart.png", dpi=120)

values = table[series[0]]


def point(at):
    return {"label": table[label].loc[at], "value": plain(values.loc[at])}


found = {
    "series": series[0],
    "rows": len(table),
    "total": plain(values.sum()),
    "first": point(values.index[0]),
    "last": point(values.index[-1]),
    "highest": point(values.idxmax()),
    "lowest": point(values.idxmin()),
}
print("RESULT " + json.dumps(found, ensure_ascii=False))
