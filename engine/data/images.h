// Published sets of labelled images, read from their native files in a data directory.
#pragma once
#include "engine/data/parts.h"
#include "engine/io/cifar.h"

namespace plumb::data {

/// Each of these gives image [C, H, W] f32 (bytes divided by 255) and label i64. `directory` is the data directory, by default the
/// environment variable PLUMB_DATA or else "data"; the files lie in its folder named after the set, or in itself, gzipped or not. Reading a
/// part throws IoError for a file that is missing (naming it and `plumb data fetch NAME`), damaged, or not what it should be.

/// Handwritten digits [1, 28, 28] (LeCun, Cortes, Burges), 60,000 and 10,000: IDX files train-images-idx3-ubyte and so on.
DatasetParts mnist(const std::string& directory = "");
/// Garments [1, 28, 28] in the same form (Xiao et al., 2017).
DatasetParts fashion_mnist(const std::string& directory = "");
/// Small colour images [3, 32, 32] (Krizhevsky, 2009), the binary version: data_batch_1.bin and as many of those that follow as there are,
/// up to data_batch_5.bin (50,000 in all), and test_batch.bin (10,000).
DatasetParts cifar10(const std::string& directory = "");

/// Any set in the form of MNIST: images u8 [N, H, W] in one IDX file and labels u8 [N], each below `classes`, in another. image [1, H, W].
/// Throws IoError naming the file for one that is damaged, holds something else, or has another number of labels than there are images.
Dataset idx_images(const std::string& images, const std::string& labels, int64_t classes = 256);
/// The records of CIFAR files, one after the other.
Dataset cifar_images(const std::vector<std::string>& files, CifarKind kind = CifarKind::ten);

}  // namespace plumb::data
