import json
import re

import pypdf

text = pypdf.PdfReader("inputs/invoice.pdf").pages[0].extract_text()
amounts = [float(amount) for amount in re.findall(r"\d+\.\d{2}", text)]
net = float(re.search(r"Net (\S+)", text)[1])
lines = [
    {"name": "Paper, 500 sheets", "count": 4, "amount": 26.0},
    {"name": "Ink, black", "count": 2, "amount": 39.8},
]
assert all(line["amount"] in amounts for line in lines), amounts
assert abs(sum(line["amount"] for line in lines) - net) < 0.005, "the lines give the net amount"
number = re.search(r"Invoice (\S+)", text)[1]
invoice = {"number": number, "date": "2024-03-05", "lines": lines, "total": 78.3}
with open("invoice.json", "w") as file:
    json.dump(invoice, file)
print(json.dumps(invoice))
