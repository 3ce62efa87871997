"""What the tests of every kind share: images, repositories, a registry, and running the program."""
