"""What `assay doctor` does: it looks at a home from outside, judges what it saw, and bundles it.

looking/ touches disks, sockets and chain nodes; checks/ is pure. It imports chain/, console/,
home/, control/'s codes and store/'s names. It writes nothing into the home and takes no lock.
"""
