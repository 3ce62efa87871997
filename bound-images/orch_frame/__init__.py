"""What both programs share: errors and their statuses, the words of other programs, output, locks.

It imports neither of them, and needs neither of them to be installed.
"""

# The one place that has it; both programs and the distribution take it from here.
__version__ = "0.1.0"
