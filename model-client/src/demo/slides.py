from pptx import Presentation

deck = Presentation()
opening = deck.slides.add_slide(deck.slide_layouts[0])
opening.shapes.title.text = DATA["title"] or "Slides"
opening.placeholders[1].text = "Made by capi"
for slide in DATA["slides"]:
    page = deck.slides.add_slide(deck.slide_layouts[1])
    page.shapes.title.text = slide["heading"]
    body = page.placeholders[1].text_frame
    for number, point in enumerate(slide["points"]):
        line = body.paragraphs[0] if number == 0 else body.add_paragraph()
        line.text = point
deck.save("slides.pptx")

written = Presentation("slides.pptx")
for slide in written.slides:
    print(slide.shapes.title.text)
print("RESULT " + json.dumps({"slides": len(written.slides)}))
