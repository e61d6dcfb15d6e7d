"""Private predictions on the control socket: parameters, results, examples, and the calls.

The methods stand in node/control/tables/. It imports wire and examples of node/control/.
"""
