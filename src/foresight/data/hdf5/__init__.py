"""Demonstrations in HDF5 files of LIBERO and robomimic, brought into a dataset."""
