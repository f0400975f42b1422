# Every public name stands here, and nowhere else: facekit/utils/lazy.py reads this file.
from facekit.training.data.augmentation import Augmentation as Augmentation
from facekit.training.data.batches import BalancedBatches as BalancedBatches
from facekit.training.data.batches import ShuffledBatches as ShuffledBatches
from facekit.training.data.dataset import FaceDataset as FaceDataset
from facekit.training.distillation.distiller import Distiller as Distiller
from facekit.training.distillation.growing import grow as grow
from facekit.training.distillation.teachers import OnnxTeacher as OnnxTeacher
from facekit.training.distillation.teachers import StoredTeacher as StoredTeacher
from facekit.training.engine.objectives import Objective as Objective
from facekit.training.engine.plots import plot_history as plot_history
from facekit.training.losses.functional import triplet_hard_loss as triplet_hard_loss
from facekit.training.losses.functional import triplet_semihard_loss as triplet_semihard_loss
from facekit.training.losses.losses import TripletHardLoss as TripletHardLoss
from facekit.training.losses.losses import TripletLoss as TripletLoss
from facekit.training.losses.losses import TripletSemiHardLoss as TripletSemiHardLoss
from facekit.training.losses.miners import Miner as Miner
from facekit.training.trainer import TripletTrainer as TripletTrainer
