import matplotlib.pyplot as plt
import pandas

table = pandas.read_csv("inputs/売上.csv")
plt.figure(figsize=(6, 4), dpi=100)
plt.bar(table["地域"], table["売上"])
plt.title("地域別の売上 😀")
plt.xlabel("地域")
plt.savefig("chart.png")

# Each character in a field of its own.
figure = plt.figure(figsize=(3, 1), dpi=100)
for place, character in enumerate("日本語"):
    figure.text((place + 0.5) / 3, 0.5, character, size=40, ha="center", va="center")
figure.savefig("characters.png")
print("drawn")
