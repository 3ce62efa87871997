"""What both programs share: errors and their statuses, the words of other programs, output, locks.

It imports neither of them, and needs neither of them to be installed.
"""
