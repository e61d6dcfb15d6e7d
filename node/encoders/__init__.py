"""Pretrained networks that make features of texts, images or numbers: held, inspected, confined.

An encoder is somebody else's program. `package` reads and writes its file, `running` is what the
rest of the node calls, and everything that touches what the file holds happens in a process of its
own (`inside`), which `confining` walls in before the first of its bytes is read: `inspecting` the
network, `tokenizing` texts, `picturing` images. It imports protocol/ and bounds/; workers run it.
"""
