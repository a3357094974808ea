"""Common corruptions, generated: 15 scored types and 4 more at five severities, CIFAR and ImageNet strengths."""
