// Reads and evaluates COCO files with AddressSanitizer looking on; built and run by tests/test_coco_asan.py.
//
//   damage REFERENCE PREDICTIONS FOLDER SEED ROUNDS   damages one of the two in each round, in FOLDER; says how many
//   pairs
//                                                     were "read R refused N"; errors that are not lcx::Error end it
//   damage REFERENCE PREDICTIONS                      the two as they are; says "read" or "refused: WHY", for masks
//   damage overrun                                    forgets the zeros that must follow a text

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "evaluation/coco_evaluate.hpp"
#include "evaluation/coco_json.hpp"
#include "evaluation/json_reader.hpp"

namespace {

using Random = std::mt19937_64;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// From the two files to the tables.
void evaluate(const std::string& reference_path, const std::string& predictions_path, lcx::CocoTarget target) {
  const lcx::CocoDataset reference = lcx::read_coco_reference(reference_path, target, 2);
  const lcx::CocoDataset predictions = lcx::read_coco_predictions(predictions_path, reference, target, 2);
  lcx::CocoOptions options;
  options.target = target;
  options.iou_thresholds = {0.5, 0.75};
  options.recall_thresholds = {0.0, 0.5, 1.0};
  options.area_ranges = {{0, 1e10}, {0, 50}};
  options.max_detections = {1, 100};
  for (const auto& image : reference.images) options.image_ids.push_back(image.id);
  for (const auto& category : reference.categories) options.category_ids.push_back(category.id);
  const auto kinds = static_cast<std::int64_t>(options.category_ids.size());
  std::vector<double> precision(static_cast<std::size_t>(2 * 3 * kinds * 2 * 2));
  std::vector<double> recall(static_cast<std::size_t>(2 * kinds * 2 * 2));
  std::vector<double> scores(precision.size());
  lcx::coco_evaluate(reference, predictions, options,
                     {{precision.data(), {2, 3, kinds, 2, 2}},
                      {recall.data(), {2, kinds, 2, 2}},
                      {scores.data(), {2, 3, kinds, 2, 2}}},
                     2);
}

std::size_t below(Random& random, std::size_t end) { return static_cast<std::size_t>(random() % end); }

// One to three changes: cut, bits turned over, other characters, parts left out, doubled, or put elsewhere.
std::string damaged(std::string text, Random& random) {
  const std::string characters = "\"{}[],:0123456789-+.eE\\ntfu \xff" + std::string(1, '\0');
  for (std::size_t change = 0; change <= below(random, 3) && !text.empty(); ++change) {
    const std::size_t at = below(random, text.size());
    const std::size_t length = 1 + below(random, 40);
    switch (random() % 6) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
        break;
      case 2:
        text[at] = characters[below(random, characters.size())];
        break;
      case 3:
        text.erase(at, length);
        break;
      case 4:
        text.insert(at, text.substr(at, length));
        break;
      default:
        text.insert(below(random, text.size()), text.substr(at, length));
    }
  }
  return text;
}

int damage(const std::vector<std::string>& arguments) {
  const std::string texts[2] = {contents(arguments[0]), contents(arguments[1])};
  const std::string paths[2] = {arguments[2] + "/reference.json", arguments[2] + "/predictions.json"};
  Random random(std::stoull(arguments[3]));
  int read = 0;
  int refused = 0;
  for (int round = 0; round < std::stoi(arguments[4]); ++round) {
    const std::size_t which = below(random, 2);
    write(paths[which], damaged(texts[which], random));
    write(paths[1 - which], texts[1 - which]);
    try {
      evaluate(paths[0], paths[1], round % 2 == 0 ? lcx::CocoTarget::kMasks : lcx::CocoTarget::kBoxes);
      ++read;
    } catch (const lcx::Error&) {
      ++refused;
    }
  }
  std::printf("read %d refused %d\n", read, refused);
  return 0;
}

int one_pair(const std::vector<std::string>& arguments) {
  try {
    evaluate(arguments[0], arguments[1], lcx::CocoTarget::kMasks);
    std::printf("read\n");
  } catch (const lcx::Error& error) {
    std::printf("refused: %s\n", error.what());
  }
  return 0;
}

int overrun() {
  const std::vector<char> text = {'"', 'a', 'b'};
  lcx::JsonReader("text", text.data(), text.size()).skip();
  return 0;
}

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.size() == 5) return damage(arguments);
  if (arguments.size() == 2) return one_pair(arguments);
  return overrun();
}
