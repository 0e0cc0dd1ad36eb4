import re
from decimal import Decimal

from pypdf import PdfReader

pages = PdfReader(DATA["invoice"]).pages
text = "\n".join(page.extract_text(extraction_mode="layout") for page in pages)
lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
print("\n".join(lines))

AMOUNT = r"(-?[\d,]*\d\.\d\d)"


def money(written):
    return Decimal(written.replace(",", ""))


def after(pattern):
    found = re.search(pattern, "\n".join(lines), re.IGNORECASE | re.MULTILINE)
    return found.group(1) if found else None


def total(label):
    found = after(rf"^{label}\b.*?{AMOUNT}$")
    return money(found) if found else None


rows = []
for line in lines:
    found = re.fullmatch(rf"(.+?) (\d+(?:\.\d+)?) {AMOUNT} {AMOUNT}", line)
    if found:
        rows.append((found[1], Decimal(found[2]), money(found[3]), money(found[4])))

net, tax, whole = total("net"), total("vat"), total("total")
problems = []
for name, quantity, price, amount in rows:
    if quantity * price != amount:
        problems.append(f"{name}: {quantity} x {price} is {quantity * price}, not {amount}")
if not rows:
    problems.append("no line of the invoice could be read")
if net is not None and sum(row[3] for row in rows) != net:
    problems.append(f"the lines add up to {sum(row[3] for row in rows)}, not {net}")
if None not in (net, tax, whole) and net + tax != whole:
    problems.append(f"net and tax add up to {net + tax}, not {whole}")


def number(value):
    return None if value is None else float(value)


found = {
    "supplier": lines[0] if lines else None,
    "number": after(r"invoice (?:number|no\.?):? *(\S+)"),
    "date": after(r"date:? *(\d{4}-\d\d-\d\d)"),
    "currency": after(r"\b(EUR|USD|GBP|CHF|JPY)\b"),
    "lines": [
        {"description": name, "quantity": float(many), "unit_price": float(price), "amount": float(amount)}
        for name, many, price, amount in rows
    ],
    "net": number(net),
    "tax": number(tax),
    "total": number(whole),
    "problems": problems,
}
print("RESULT " + json.dumps(found, ensure_ascii=False))
