"""`stan-edge evaluate --faithfulness`: does the network need the frames that an explanation calls important?"""
