// Addresses and checksums of the published originals.
#include "tools/data/catalogue.h"

namespace plumb::tools {
namespace {

std::string uci(const char* path) { return std::string("https://archive.ics.uci.edu/ml/machine-learning-databases/") + path; }
std::string mnist(const char* file) { return std::string("https://storage.googleapis.com/cvdf-datasets/mnist/") + file; }
std::string fashion(const char* file) { return std::string("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/") + file; }

std::string sktime(const std::string& file) {
  return "https://raw.githubusercontent.com/sktime/sktime/main/sktime/datasets/data/" + file.substr(0, file.find('_')) + "/" + file;
}
RemoteFile series_set(const std::string& file, const char* sha256) { return {"timeseries/" + file, sktime(file), sha256}; }
RemoteFile long_series(const std::string& file) {
  return {"timeseries/" + file, "https://raw.githubusercontent.com/jbrownlee/Datasets/master/" + file, ""};
}

std::vector<DataSet> make_catalogue() {
  return {
      {"mnist",
       "handwritten digits 28×28, 60,000 + 10,000 (LeCun, Cortes, Burges; CC BY-SA 3.0)",
       {{"mnist/train-images-idx3-ubyte.gz", mnist("train-images-idx3-ubyte.gz"),
         "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
        {"mnist/train-labels-idx1-ubyte.gz", mnist("train-labels-idx1-ubyte.gz"),
         "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
        {"mnist/t10k-images-idx3-ubyte.gz", mnist("t10k-images-idx3-ubyte.gz"),
         "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
        {"mnist/t10k-labels-idx1-ubyte.gz", mnist("t10k-labels-idx1-ubyte.gz"),
         "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}}},
      {"fashion_mnist",
       "garments 28×28, 60,000 + 10,000 (Zalando Research; MIT)",
       {{"fashion_mnist/train-images-idx3-ubyte.gz", fashion("train-images-idx3-ubyte.gz"),
         "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
        {"fashion_mnist/train-labels-idx1-ubyte.gz", fashion("train-labels-idx1-ubyte.gz"),
         "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
        {"fashion_mnist/t10k-images-idx3-ubyte.gz", fashion("t10k-images-idx3-ubyte.gz"),
         "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
        {"fashion_mnist/t10k-labels-idx1-ubyte.gz", fashion("t10k-labels-idx1-ubyte.gz"),
         "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}}},
      {"cifar10",
       "small colour images 32×32, 50,000 + 10,000, binary version, 170 MB (Krizhevsky 2009; research use)",
       {{"cifar10/cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
         "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", Form::cifar_archive}}},
      {"tinyshakespeare",
       "1.1 MB of Shakespeare's plays (public domain)",
       {{"text/tinyshakespeare.txt", "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
         "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}}},
      {"review_polarity",
       "2,000 film reviews, positive and negative (Pang and Lee 2004; research use)",
       {{"text/review_polarity.tar.gz", "https://www.cs.cornell.edu/people/pabo/movie-review-data/review_polarity.tar.gz",
         "fc0dccc2671af5db3c5d8f81f77a1ebfec953ecdd422334062df61ede36b2179"}}},
      {"digits",
       "1,797 handwritten digits 8×8 (Alpaydin and Kaynak, UCI; CC BY 4.0)",
       {{"uci/digits.csv", uci("optdigits/optdigits.tes"), "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"}}},
      {"adult",
       "census income with sex and race (Becker and Kohavi, UCI; CC BY 4.0)",
       {{"uci/adult-train.csv", uci("adult/adult.data"), "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"},
        {"uci/adult-test.csv", uci("adult/adult.test"), "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
         Form::comment_first},
        {"uci/adult.names", uci("adult/adult.names"), "c248284c0b5de30c9e1958d6cdd168a34a654758b620e68f46aefa83fc0a576a"}}},
      {"german",
       "German credit (Hofmann, UCI; CC BY 4.0)",
       {{"uci/german.csv", uci("statlog/german/german.data"), "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
         Form::comma_for_spaces}}},
      {"compas",
       "recidivism with race and sex (ProPublica 2016; public)",
       {{"uci/compas-scores-two-years.csv",
         "https://raw.githubusercontent.com/propublica/compas-analysis/master/compas-scores-two-years.csv",
         "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"}}},
      {"wine",
       "178 wines, 13 measurements, 3 growers (UCI; CC BY 4.0)",
       {{"uci/wine.csv", uci("wine/wine.data"), "6be6b1203f3d51df0b553a70e57b8a723cd405683958204f96d23d7cd6aea659", Form::target_first}}},
      {"winequality",
       "6,497 red and white wines with a taster's mark (Cortez et al., UCI; CC BY 4.0)",
       {{"uci/winequality-red.csv", uci("wine-quality/winequality-red.csv"),
         "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e", Form::comma_for_semicolons},
        {"uci/winequality-white.csv", uci("wine-quality/winequality-white.csv"),
         "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836", Form::comma_for_semicolons}}},
      {"sonar",
       "208 sonar echoes of rocks and mines (Sejnowski and Gorman, UCI; CC BY 4.0)",
       {{"uci/sonar.csv", uci("undocumented/connectionist-bench/sonar/sonar.all-data"),
         "e90434cdbf00fcf93ffa911fe447ae25606979658e60f1d32e155c3b5240234d"}}},
      {"ionosphere",
       "351 radar returns (Sigillito, UCI; CC BY 4.0)",
       {{"uci/ionosphere.csv", uci("ionosphere/ionosphere.data"), "46d52186b84e20be52918adb93e8fb9926b34795ff7504c24350ae0616a04bbd"}}},
      {"abalone",
       "4,177 shellfish and their age in rings (Nash et al., UCI; CC BY 4.0)",
       {{"uci/abalone.csv", uci("abalone/abalone.data"), "de37cdcdcaaa50c309d514f248f7c2302a5f1f88c168905eba23fe2fbc78449f"}}},
      {"banknote",
       "1,372 banknotes, genuine and forged (Lohweg, UCI; CC BY 4.0)",
       {{"uci/banknote_authentication.csv", uci("00267/data_banknote_authentication.txt"), ""}}},
      {"breast_cancer",
       "699 biopsies (Wolberg, UCI; CC BY 4.0)",
       {{"uci/breast-cancer-wisconsin.csv", uci("breast-cancer-wisconsin/breast-cancer-wisconsin.data"), "", Form::identifier_first}}},
      {"series_sets",
       "five sets of labelled series: GunPoint, ItalyPowerDemand, ArrowHead, BasicMotions, JapaneseVowels (UCR and UEA; research use)",
       {series_set("GunPoint_TRAIN.ts", "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5"),
        series_set("GunPoint_TEST.ts", "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e"),
        series_set("ItalyPowerDemand_TRAIN.ts", "341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c"),
        series_set("ItalyPowerDemand_TEST.ts", "26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144"),
        series_set("ArrowHead_TRAIN.ts", "a83c470aaf611a5f5284377cce27a5fc9f6292bc3d110257b0fd4905ced5ee72"),
        series_set("ArrowHead_TEST.ts", "5417dab42626d41df5e435bb22458c2df40dfad4bcd3b59559bbe72e20e84904"),
        series_set("BasicMotions_TRAIN.ts", "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6"),
        series_set("BasicMotions_TEST.ts", "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc"),
        series_set("JapaneseVowels_TRAIN.ts", "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"),
        series_set("JapaneseVowels_TEST.ts", "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462")}},
      {"long_series",
       "temperatures of Melbourne, sunspots, airline passengers, and hourly pollution in Beijing (public)",
       {long_series("daily-min-temperatures.csv"), long_series("daily-max-temperatures.csv"), long_series("monthly-sunspots.csv"),
        long_series("airline-passengers.csv"), long_series("pollution.csv")}},
  };
}

}  // namespace

std::span<const DataSet> catalogue() {
  static const std::vector<DataSet> sets = make_catalogue();
  return sets;
}

}  // namespace plumb::tools
