"""Money on the control socket: parameters, results and examples of the methods about it.

The methods stand in the table in node/control/methods.py as all others do. It imports wire of
node/control/.
"""
