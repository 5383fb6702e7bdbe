// A program of the compiler interface, and how it is translated and compiled.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "device.h"

namespace cuda_on_cpu {
enum { NVRTC_SUCCESS = 0, INVALID_INPUT = 3, COMPILATION = 6, NAME_EXPRESSION_NOT_VALID = 10 };

struct Program {
  std::string source, name, image, log;
  std::map<std::string, std::string> headers;  // include name: text
  std::vector<std::string> expressions, lowered;
};
struct Command {  // what CuPy's options are for g++
  std::vector<std::string> includes;
  std::string defines, standard = "-std=c++17";
  bool compiled_header = true;  // the header that was compiled beforehand can be used
};

std::string read_file(const std::string &path);
const std::string &root();                                        // the folder of the tool: this library is in its lib/
std::string translate(Program &program, const Command &command);  // to C++; names the program's expressions
int compile(Program &program, const std::vector<std::string> &options);
}  // namespace cuda_on_cpu
