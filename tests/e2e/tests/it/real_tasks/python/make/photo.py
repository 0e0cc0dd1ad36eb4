"""photo.jpg: taken with the camera on its side. Shown upright, its upper left corner is red."""

from PIL import Image

upright = Image.new("RGB", (1000, 1600), "white")
upright.paste((255, 0, 0), (0, 0, 300, 300))
stored = upright.transpose(Image.Transpose.ROTATE_90)
exif = Image.Exif()
exif[0x0112] = 6  # Orientation: a viewer turns the stored picture clockwise.
exif[0x010F] = "Camera of the test"
stored.save("photo.jpg", exif=exif, quality=90)
