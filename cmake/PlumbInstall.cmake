# Install rules: headers under include/plumb, the library, and a package that find_package(plumb CONFIG) finds.
