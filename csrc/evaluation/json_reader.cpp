#include "evaluation/json_reader.hpp"

#include <array>
#include <bit>
#include <charconv>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/error.hpp"

namespace lcx {
namespace {

constexpr int kDeepest = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Powers of ten that a double holds exactly.
constexpr std::array<double, 23> kPowers{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                         1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// The first quote, backslash or control character from here on.
const char* end_of_plain(const char* at) {
#ifdef __SSE2__
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1F);
  for (;; at += 16) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(part, last_control), part);
    const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(part, quote), _mm_cmpeq_epi8(part, backslash));
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(control, special)));
    if (bits != 0) return at + std::countr_zero(bits);
  }
#else
  while (*at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= 0x20) ++at;
  return at;
#endif
}

void append_utf8(std::string& text, std::uint32_t code) {
  const auto push = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | code >> 6);
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | code >> 18);
    push(0x80 | (code >> 12 & 0x3F));
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

}  // namespace

JsonReader::JsonReader(std::string name, const char* text, std::size_t size)
    : name_(std::move(name)), begin_(text), at_(text), end_(text + size) {
  if (std::string_view(text, size).starts_with("\xEF\xBB\xBF")) at_ += 3;  // a byte order mark
}

void JsonReader::fail(const char* expected) const {
  std::string found = "the end of the file";
  if (at_ < end_) {
    found = *at_ > ' ' && *at_ < 127 ? std::string("'") + *at_ + "'"
                                     : "byte " + std::to_string(static_cast<unsigned char>(*at_));
  }
  throw Error(ErrorCode::kInvalidArgument,
              name_ + ": byte " + std::to_string(position()) + ": expected " + expected + ", found " + found);
}

char JsonReader::peek() {
  while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  return *at_;
}

void JsonReader::take(char expected, const char* name) {
  if (peek() != expected) fail(name);
  ++at_;
}

void JsonReader::enter() {
  if (++depth_ > kDeepest) fail("no more than 64 levels of nesting");
  first_ = true;
}

void JsonReader::begin_object() {
  if (peek() != '{') fail("an object");
  enter();
  ++at_;
}

void JsonReader::begin_array() {
  if (peek() != '[') fail("an array");
  enter();
  ++at_;
}

bool JsonReader::next(char close, const char* expected) {
  const char c = peek();
  if (c == close) {
    ++at_;
    --depth_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (c != ',') fail(expected);
    ++at_;
  }
  first_ = false;
  return true;
}

bool JsonReader::next_element() { return next(']', "',' or ']'"); }

bool JsonReader::next_member(std::string_view& key) {
  if (!next('}', "',' or '}'")) return false;
  if (peek() != '"') fail("a member's name in quotes");
  key = string();
  take(':', "':'");
  return true;
}

// One past the number that begins here, or null if none does.
const char* JsonReader::scan_number() const {
  const char* at = at_;
  if (*at == '-') ++at;
  if (*at == '0') {
    ++at;
  } else {
    if (!is_digit(*at)) return nullptr;
    while (is_digit(*at)) ++at;
  }
  if (*at == '.') {
    if (!is_digit(*++at)) return nullptr;
    while (is_digit(*at)) ++at;
  }
  if (*at == 'e' || *at == 'E') {
    ++at;
    if (*at == '+' || *at == '-') ++at;
    if (!is_digit(*at)) return nullptr;
    while (is_digit(*at)) ++at;
  }
  return at;
}

double JsonReader::number() {
  peek();
  // Up to 19 digits are held exactly; up to 2^53 and with a power of ten that is exact too, one operation rounds once.
  const char* at = at_;
  const bool negative = *at == '-';
  if (negative) ++at;
  std::uint64_t digits = 0;
  const char* first = at;
  for (; is_digit(*at); ++at) digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
  std::int64_t count = at - first;
  const bool leading_zero = *first == '0' && count > 1;
  std::int64_t decimals = 0;
  if (count > 0 && *at == '.') {
    const char* point = at++;
    for (; is_digit(*at); ++at) digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
    decimals = at - point - 1;
    count = decimals > 0 ? count + decimals : 0;
  }
  if (count > 0 && count <= 19 && !leading_zero && *at != 'e' && *at != 'E' && digits <= (1ULL << 53)) {
    at_ = at;
    const double value = static_cast<double>(digits) / kPowers[static_cast<std::size_t>(decimals)];
    return negative ? -value : value;
  }
  const char* stop = scan_number();
  if (stop == nullptr) fail("a number");
  double value = 0;
  const auto [end, error] = std::from_chars(at_, stop, value);
  if (error == std::errc::result_out_of_range) {
    // Too small to be told from 0 is 0; too large is an error.
    const std::string_view token(at_, static_cast<std::size_t>(stop - at_));
    const auto exponent = token.find_first_of("eE");
    if (exponent == std::string_view::npos || token[exponent + 1] != '-') fail("a number that a double can hold");
    value = 0;
  }
  at_ = stop;
  return value;
}

std::int64_t JsonReader::integer() {
  peek();
  const char* stop = scan_number();
  std::int64_t value = 0;
  if (stop == nullptr) fail("an integer");
  const auto [end, error] = std::from_chars(at_, stop, value);
  if (error != std::errc() || end != stop) fail("an integer below 2^63, without fraction or exponent");
  at_ = stop;
  return value;
}

std::uint32_t JsonReader::code_unit(const char*& at) const {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++at) {
    const char c = *at;
    const char lower = static_cast<char>(c | 0x20);
    if (!is_digit(c) && !(lower >= 'a' && lower <= 'f')) fail("a string with \\u and four hexadecimal digits");
    code = code * 16 + static_cast<std::uint32_t>(is_digit(c) ? c - '0' : lower - 'a' + 10);
  }
  return code;
}

// The rest of a string from its first backslash; at_ stays at its opening quote until all of it is known to be good.
std::string_view JsonReader::unescape(const char* from) {
  constexpr std::uint32_t kReplacement = 0xFFFD;  // stands for half of a surrogate pair
  unescaped_.assign(at_ + 1, from);
  const char* at = from;
  while (*at != '"') {
    if (*at != '\\') {
      const char* stop = end_of_plain(at);
      if (stop == at) fail("a string that ends, without control characters");
      unescaped_.append(at, stop);
      at = stop;
      continue;
    }
    const char kind = at[1];
    if (kind == 'u') {
      at += 2;
      std::uint32_t code = code_unit(at);
      if (code >= 0xD800 && code < 0xE000) {
        std::uint32_t low = 0;
        if (code < 0xDC00 && at[0] == '\\' && at[1] == 'u') {
          const char* ahead = at + 2;
          low = code_unit(ahead);
          if (low >= 0xDC00 && low < 0xE000) at = ahead;
        }
        const bool paired = low >= 0xDC00 && low < 0xE000;
        code = paired ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : kReplacement;
      }
      append_utf8(unescaped_, code);
      continue;
    }
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kCharacters = "\"\\/\b\f\n\r\t";
    const auto index = kind == '\0' ? std::string_view::npos : kNames.find(kind);
    if (index == std::string_view::npos) fail("a string without unknown escapes");
    unescaped_.push_back(kCharacters[index]);
    at += 2;
  }
  at_ = at + 1;
  return unescaped_;
}

std::string_view JsonReader::string() {
  if (peek() != '"') fail("a string");
  const char* first = at_ + 1;
  const char* at = first;
  at = end_of_plain(at);
  if (*at == '\\') return unescape(at);
  if (*at != '"') fail("a string that ends, without control characters");
  at_ = at + 1;
  return {first, static_cast<std::size_t>(at - first)};
}

void JsonReader::skip_literal(std::string_view literal) {
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (at_[i] != literal[i]) fail("a value");
  }
  at_ += literal.size();
}

bool JsonReader::flag() {
  switch (peek()) {
    case 't':
      skip_literal("true");
      return true;
    case 'f':
      skip_literal("false");
      return false;
    default:
      return number() != 0;
  }
}

bool JsonReader::null() {
  if (peek() != 'n') return false;
  skip_literal("null");
  return true;
}

void JsonReader::skip() {
  const int outside = depth_;
  std::string_view key;
  // Which containers are open, innermost last: nesting costs no stack.
  std::array<bool, kDeepest + 1> is_object{};
  do {
    const char c = peek();
    if (c == '{' || c == '[') {
      is_object[static_cast<std::size_t>(depth_)] = c == '{';
      enter();
      ++at_;
    } else if (c == '"') {
      string();
    } else if (c == 't' || c == 'f') {
      flag();
    } else if (c == 'n') {
      null();
    } else {
      const char* stop = scan_number();
      if (stop == nullptr) fail("a value");
      at_ = stop;
    }
    while (depth_ > outside) {
      const bool more = is_object[static_cast<std::size_t>(depth_ - 1)] ? next_member(key) : next_element();
      if (more) break;
    }
  } while (depth_ > outside);
}

void JsonReader::end() {
  peek();
  if (at_ != end_) fail("the end of the file");
}

}  // namespace lcx
