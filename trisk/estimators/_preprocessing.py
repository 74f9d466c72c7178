from trisk.estimators.scaling import *  # removed at the end of the move
