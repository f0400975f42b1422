# Every public name of this part stands here, and nowhere else: facekit/utils/lazy.py reads this.
from facekit.web.app import create_app as create_app
from facekit.web.guard import Access as Access
