"""Verification: does an exported file compute what the network computes?"""
