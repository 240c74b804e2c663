// A folder of images: one subfolder a class, or images alone.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

struct ImageFolderOptions {
  int64_t channels = 3;   ///< 3: grey becomes red = green = blue; 1: colours become (299 R + 587 G + 114 B)/1000. Alpha is dropped.
  bool in_memory = true;  ///< decode everything now and keep the bytes; else decode each image when it is read
  bool any_size = false;  ///< allow images of different sizes (read one by one): to be cropped by a map, or padded
};

struct ImageFolder {
  Dataset data;                          ///< image [C, H, W] f32 in [0, 1], label i64: the place of its folder among the class names
  std::vector<std::string> class_names;  ///< the subfolders, sorted
  std::vector<std::string> files;        ///< by Sample::index: sorted by class, then by name
};

/// The PNG and JPEG files in the subfolders of `path`; hidden files and files with other endings are passed over. source_hashes() has one
/// entry for the folder: the hash of the lines "hash  file". Throws ValueError for channels other than 1 and 3, IoError naming the file or
/// folder for a folder that is missing, has no subfolders or no images, for a file that is damaged, and, unless any_size, for two images
/// that differ in size (both are named): at once if in memory, else when the second is read.
ImageFolder image_folder(const std::string& path, ImageFolderOptions options = {});

/// The PNG and JPEG files in `path` itself, all with label 0 and without class names. Throws as image_folder; a folder without images is an
/// IoError that names it.
ImageFolder unlabelled_image_folder(const std::string& path, ImageFolderOptions options = {});

/// These files below `directory` in this order, all with label 0. Throws as image_folder; an empty list is a ValueError.
ImageFolder image_list(std::vector<std::string> files, const std::string& directory, ImageFolderOptions options = {});

}  // namespace plumb::data
