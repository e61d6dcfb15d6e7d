"""What workers run for private predictions: models put on sale, features, queries and answers.

Secrets come in as arguments and go back as results; nothing of them is written here. It imports
data/ and store/, and tasks of node/work/.
"""
