import openpyxl
import pandas
from openpyxl.styles import Font

orders = pandas.read_excel("inputs/orders.xlsx", sheet_name="Orders", header=1)
totals = orders.groupby("Region").Amount.sum()
print(totals.reset_index().to_markdown(index=False))
book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Totals"
sheet.append(["Region", "Total"])
for region, total in totals.items():
    sheet.append([region, total])
sheet.append(["All", totals.sum()])
for cell in sheet[sheet.max_row]:
    cell.font = Font(bold=True)
book.save("totals.xlsx")
