"""orders.xlsx: a sheet of orders under a title, and a sheet of notes."""

import datetime

import openpyxl

ORDERS = [("North", 120.5), ("South", 80), ("North", 30.25), ("West", 45), ("South", 20)]

book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Orders"
sheet.append(["Orders of 2024"])
sheet.merge_cells("A1:C1")
sheet.append(["Day", "Region", "Amount"])
for day, (region, amount) in enumerate(ORDERS, start=1):
    sheet.append([datetime.date(2024, 3, day), region, amount])
notes = book.create_sheet("Notes")
notes.append(["Amounts are in EUR."])
book.save("orders.xlsx")
