from PIL import Image, ImageOps

photo = Image.open("inputs/photo.jpg")
print("stored as", photo.size, "orientation", photo.getexif().get(0x0112))
photo = ImageOps.exif_transpose(photo)
photo.thumbnail((400, 400))
photo.save("small.jpg", quality=85)
print("saved as", photo.size)
