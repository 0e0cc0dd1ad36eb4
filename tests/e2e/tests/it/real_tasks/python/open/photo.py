"""Prints what small.jpg and the picture that the model saw hold."""

import json

from PIL import Image


def facts(name):
    picture = Image.open(name)
    corners = {"upper left": (20, 20), "upper right": (picture.width - 20, 20)}
    pixels = {place: picture.convert("RGB").getpixel(at) for place, at in corners.items()}
    red = [place for place, (red, green, _) in pixels.items() if red > 200 and green < 80]
    return {"size": picture.size, "exif": len(picture.getexif()), "red": red}


print(json.dumps({name: facts(name) for name in ("small.jpg", "seen")}))
