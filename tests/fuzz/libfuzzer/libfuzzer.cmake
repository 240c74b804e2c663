# The fuzzer's program (preset fuzz, tools/fuzz.sh): readers and what they need, instrumented; no operation's kernels beyond a few.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "PLUMB_FUZZ needs Clang, whose libFuzzer it is: cmake --preset fuzz")
endif()
file(GLOB_RECURSE fuzzed CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/engine/*.cpp)
list(FILTER fuzzed EXCLUDE REGEX "/engine/dist/mpi\\.cpp$")
file(GLOB targets CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.cpp ${PROJECT_SOURCE_DIR}/tests/fuzz/libfuzzer/*.cpp)
list(FILTER targets EXCLUDE REGEX "_test\\.cpp$")
# What stands to the right of ops: named here, since each drags more along.
set(readers
  models/autoencoder/autoencoder_config.cpp models/gan/gan_config.cpp models/gan/image_side.cpp models/moe/config.cpp models/moe/gpt_config.cpp models/resnet/config.cpp
  models/transformer/encoder_config.cpp models/transformer/gpt_config.cpp models/transformer/llama_config.cpp models/transformer/vision.cpp
  models/transformer/hugging_face_config.cpp models/transformer/sentence_files.cpp models/unet/unet_config.cpp
  models/contrastive/dual_encoder.cpp models/contrastive/prompted_clip.cpp models/contrastive/prototype.cpp models/detection/detector.cpp models/mil/attention_pool.cpp
  models/mil/trans_mil.cpp models/mlp/mlp.cpp models/moe/tabular.cpp models/pose/pose_net.cpp models/recurrent/encoder.cpp models/temporal/tcn.cpp models/temporal/text_cnn.cpp
  models/transformer/tabular.cpp models/transformer/translator.cpp models/unet/motion.cpp models/unet/segmentation.cpp methods/time_series/ar_net/ar_net.cpp
  models/quantize/stored.cpp models/quantize/rf8.cpp models/train/metrics.cpp models/train/step_lines.cpp models/train/run_directory.cpp models/train/image_grid.cpp
  models/train/run_view.cpp models/train/html.cpp models/metrics/intervals.cpp methods/experiment.cpp methods/results.cpp methods/table.cpp
  tools/data/subset.cpp
  tools/bench/page.cpp tools/bench/charts.cpp tools/bench/row.cpp tools/bench/scale.cpp tools/bench/scale_plan.cpp)
# Of these the functions that read a run's configuration are called, and watched for coverage (read_a_run.list). The rest must be dropped: what is
# watched cannot be, nor what a checked global refers to, such as the command.
set(commands
  methods/common/image_views.cpp methods/common/mix_objective.cpp methods/common/robust_losses.cpp methods/common/noisy_label_losses.cpp tools/cli/device_option.cpp tools/cli/winograd_option.cpp
  tools/autoencoder_model.cpp tools/classifier_recipe.cpp tools/clip_model.cpp tools/consistency_model.cpp tools/diffusion_model.cpp tools/finetune/finetune_command.cpp
  tools/forecast_model.cpp tools/gan_model.cpp tools/image_classifier.cpp tools/language_model.cpp tools/ssl_model.cpp tools/tabular_model.cpp tools/train/detector.cpp
  tools/train/encoder.cpp tools/train/gpt.cpp tools/train/moe.cpp tools/train/segment.cpp tools/train/settings.cpp tools/train/translate.cpp)
# What they call or mention, under the sanitizers as well, but not watched for coverage: its branches say nothing about a file, and their counters
# would be read after every input. Little of it ever runs, so it is compiled in a hurry.
list(TRANSFORM readers PREPEND ${PROJECT_SOURCE_DIR}/)
list(TRANSFORM commands PREPEND ${PROJECT_SOURCE_DIR}/)
file(GLOB_RECURSE called CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/*.cpp ${PROJECT_SOURCE_DIR}/models/*.cpp)
list(FILTER called EXCLUDE REGEX "/ops/cpu/")
list(APPEND called ${PROJECT_SOURCE_DIR}/ops/cpu/copy.cpp ${PROJECT_SOURCE_DIR}/ops/cpu/create.cpp)
list(REMOVE_ITEM called ${readers})

add_executable(plumb_fuzz ${targets} ${fuzzed} ${readers} ${commands} ${called})
target_include_directories(plumb_fuzz PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_features(plumb_fuzz PRIVATE cxx_std_20)
target_compile_options(plumb_fuzz PRIVATE -O2 -ffunction-sections -fdata-sections)
set_source_files_properties(${targets} ${fuzzed} ${readers} PROPERTIES COMPILE_OPTIONS -fsanitize=fuzzer-no-link)
set_source_files_properties(${commands} PROPERTIES COMPILE_OPTIONS "-fsanitize=fuzzer-no-link;-fsanitize-coverage-allowlist=${CMAKE_CURRENT_LIST_DIR}/read_a_run.list;-mllvm;-asan-globals=0"
  OBJECT_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/read_a_run.list)
set_source_files_properties(${called} PROPERTIES COMPILE_OPTIONS -O0)
# Functions that no reader calls may refer to what is not here: they are dropped before anybody looks.
target_link_options(plumb_fuzz PRIVATE -fsanitize=fuzzer -fuse-ld=lld LINKER:--gc-sections)
target_link_libraries(plumb_fuzz PRIVATE plumb_flags ${PLUMB_PRIVATE_LIBRARIES} Threads::Threads)
plumb_embed(plumb_fuzz engine/data/digits/digits.csv.gz plumb::data::detail digits_file)
