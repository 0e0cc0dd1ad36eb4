"""Prints the sizes of the pictures, the colours of the chart, and how many of the characters differ."""

import json

from PIL import Image

chart = Image.open("chart.png").convert("RGB")
row = Image.open("characters.png").convert("L")
width = row.width // 3
fields = [row.crop((place * width, 0, (place + 1) * width, row.height)) for place in range(3)]
ink = [sum(field.histogram()[:128]) for field in fields]
print(json.dumps({
    "size": chart.size,
    "colours": len(chart.getcolors(maxcolors=1 << 24)),
    "different": len({field.tobytes() for field in fields}),
    "ink": min(ink),
}))
