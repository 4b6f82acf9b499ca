"""Folders of images with boxes, in the layouts of COCO and of Pascal VOC."""

import json

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 90, "name": "cat"}]
SIZES = [(20, 40), (40, 20), (30, 30), (20, 40), (24, 12), (10, 50)]
BOX = [4, 2, 8, 10]  # x, y, width, height


def picture(path, size, box=BOX):
    """A black image with a white box."""
    pixels = np.zeros((*size, 3), np.uint8)
    x, y, w, h = box
    pixels[y : y + h, x : x + w] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def annotation(number, **changes):
    found = {"id": number, "image_id": number, "category_id": 90 if number % 2 else 7, "bbox": BOX}
    return {**found, "iscrowd": 0, "area": 80, **changes}


def write_coco(root, parts=("train2017", "val2017"), change=lambda name, document: None):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for name in parts:
        document = {
            "images": [],
            "annotations": [],
            "categories": [dict(each) for each in CATEGORIES],
        }
        for number, (height, width) in enumerate(SIZES, start=1):
            file = f"{number:012}.png"
            picture(root / name / file, (height, width))
            document["images"].append(
                {"id": number, "file_name": file, "height": height, "width": width}
            )
            document["annotations"].append(annotation(number))
        change(name, document)
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(document))
    return str(root)


def write_voc(root, lists=("train", "val"), change=lambda text: text):
    for number, size in enumerate(SIZES):
        picture(root / "JPEGImages" / f"im_{number}.png", size)
        x, y, w, h = BOX
        box = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
        text = (
            f"<annotation><filename>im_{number}.png</filename><size><width>{size[1]}</width>"
            f"<height>{size[0]}</height><depth>3</depth></size><object>"
            f"<name>{'cat' if number % 2 else 'dog'}</name><difficult>0</difficult>"
            f"<bndbox>{box}</bndbox></object></annotation>"
        )
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"im_{number}.xml").write_text(change(text))
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for n, name in enumerate(lists):
        names = [f"im_{k}" for k in range(len(SIZES)) if k % len(lists) == n or k < 2]
        (folder / f"{name}.txt").write_text("\n".join(names) + "\n")
    return str(root)
