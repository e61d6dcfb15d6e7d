"""What an owner holds back, as people say it: pause, resume, leave, and hours of the day.

node.engine.holding decides; here are the calls. It imports control/, engine/, store/ and the books
of jobs/.
"""
